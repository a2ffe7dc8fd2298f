"""What in a new OpenAPI document breaks clients that were generated from the released one.

A client sends what the released document allows, and understands what that document says of the answers. So everything
sent must fit the new schemas, and everything answered the released ones. `python -m tests.openapi.compatibility` prints
the document of this code as a release keeps it: sorted, and without its prose.
"""

import json
from collections.abc import Iterator
from itertools import product
from typing import Any

Json = dict[str, Any]

PROSE = {"title", "summary", "description", "examples", "example", "links", "tags", "info"}
AT_MOST = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
AT_LEAST = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
WRITTEN = ("style", "explode", "allowReserved")
SAME = ("pattern", "format", "multipleOf", "uniqueItems")


def without_prose(node: Any, *, names: bool = False) -> Any:
    """The node, where `names` says that its keys are names of fields, which may be called `title` too."""
    if isinstance(node, list):
        return [without_prose(each) for each in node]
    if not isinstance(node, dict):
        return node
    return {
        key: without_prose(value, names=key in ("properties", "schemas") and not names)
        for key, value in node.items()
        if names or key not in PROSE
    }


def incompatible(released: Json, new: Json) -> list[str]:
    """Each change that breaks a client, in words."""
    return sorted(set(_Comparison(released, new).problems()))


class _Comparison:
    def __init__(self, released: Json, new: Json) -> None:
        self.released, self.new = released, new
        self.known: dict[tuple[str, str, bool], list[str]] = {}
        """What was found of two schemas that have names; nothing, while they are compared and refer to themselves."""

    def problems(self) -> Iterator[str]:
        for name in self.released["components"]["schemas"].keys() - self.new["components"]["schemas"].keys():
            yield f"the schema {name} is gone"
        yield from self._schemes()
        yield from _servers(self.released, self.new, "the service")
        for part in ("paths", "webhooks"):
            for path, item in self.released.get(part, {}).items():
                for method, old in item.items():
                    where = f"{method.upper()} {path}"
                    new = self.new.get(part, {}).get(path, {}).get(method)
                    if new is None:
                        yield f"{where} is gone"
                    elif part == "paths":
                        yield from self._operation(old, new, where)
                    else:
                        yield from self._contents(old["requestBody"], new["requestBody"], where, sent=False)

    def _operation(self, old: Json, new: Json, where: str) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{where} is called {new['operationId']}"
        yield from self._security(old, new, where)
        yield from _servers(old, new, where)
        yield from self._parameters(old, new, where)
        old_body, new_body = old.get("requestBody"), new.get("requestBody")
        if old_body and new_body:
            yield from self._contents(old_body, new_body, f"{where}: body", sent=True)
        if (old_body is None) != (new_body is None) and not (new_body and not new_body.get("required")):
            yield f"{where} takes {'a' if new_body else 'no'} body"
        if new_body and old_body and new_body.get("required") and not old_body.get("required"):
            yield f"{where} demands its body"
        for status in old["responses"].keys() | new["responses"].keys():
            here = f"{where}: {status}"
            if status in old["responses"] and status in new["responses"]:
                yield from self._contents(old["responses"][status], new["responses"][status], here, sent=False)
                yield from self._headers(old["responses"][status], new["responses"][status], here)
            elif status < "300":
                yield f"{here} is {'gone' if status in old['responses'] else 'new'}"

    def _schemes(self) -> Iterator[str]:
        """How a token is obtained and sent."""
        before, after = (each["components"].get("securitySchemes", {}) for each in (self.released, self.new))
        for name, scheme in before.items():
            if after.get(name) != scheme:
                yield f"the security scheme {name} is {'another' if name in after else 'gone'}"

    def _security(self, old: Json, new: Json, where: str) -> Iterator[str]:
        """Whoever sent what the released operation asked for has to be let in."""
        before = old.get("security", self.released.get("security")) or [{}]
        after = new.get("security", self.new.get("security")) or [{}]
        for ways in before:
            if not any(_is_enough(ways, each) for each in after):
                yield f"{where} takes no {' and '.join(sorted(ways))} any more" if ways else f"{where} demands a token"

    def _headers(self, old: Json, new: Json, where: str) -> Iterator[str]:
        after = new.get("headers", {})
        for name, header in old.get("headers", {}).items():
            if name not in after:
                yield f"{where}: header {name} is gone"
                continue
            if header.get("required") and not after[name].get("required"):
                yield f"{where}: header {name} is not always answered"
            yield from self._fits(
                after[name].get("schema", {}), header.get("schema", {}), f"{where}: header {name}", sent=False
            )

    def _parameters(self, old: Json, new: Json, where: str) -> Iterator[str]:
        before, after = ({(each["in"], each["name"]): each for each in one.get("parameters", ())} for one in (old, new))
        for key in before.keys() | after.keys():
            here = f"{where}: {key[0]}.{key[1]}"
            if key not in after:
                yield f"{here} is gone"
            elif after[key].get("required") and not before.get(key, {}).get("required"):
                yield f"{here} is demanded"
            elif key in before:
                if before[key].get("allowEmptyValue") and not after[key].get("allowEmptyValue"):
                    yield f"{here} takes no empty value"
                if any(before[key].get(name) != after[key].get(name) for name in WRITTEN):
                    yield f"{here} is written in another way"
                if not before[key].get("required") and _default(before[key]["schema"]) != _default(
                    after[key]["schema"]
                ):
                    yield f"{here}: another default"
                yield from self._fits(before[key]["schema"], after[key]["schema"], here, sent=True)

    def _contents(self, old: Json, new: Json, where: str, *, sent: bool) -> Iterator[str]:
        for kind, content in old.get("content", {}).items():
            if kind not in new.get("content", {}):
                yield f"{where}: {kind} is gone"
                continue
            pair = content.get("schema", {}), new["content"][kind].get("schema", {})
            yield from self._fits(*(pair if sent else pair[::-1]), where, sent=sent)

    def _fits(self, given: Json, taken: Json, where: str, *, sent: bool) -> Iterator[str]:
        """What of `given` does not fit `taken`; of a request, `given` is the released schema."""
        pair = given.get("$ref", ""), taken.get("$ref", ""), sent
        if not all(pair[:2]):
            found = self._misfits(given, taken, sent=sent)
        else:
            if pair not in self.known:
                self.known[pair] = []
                self.known[pair] = self._misfits(given, taken, sent=sent)
            found = self.known[pair]
        for each in found:
            yield where + each

    def _misfits(self, given: Json, taken: Json, *, sent: bool) -> list[str]:
        """Every choice that is given has to fit one that is taken."""
        giving, taking = (self.released, self.new) if sent else (self.new, self.released)
        misfits: list[str] = []
        for choice in _choices(given, giving):
            found: list[list[str]] = [
                list(self._one_fits(choice, taker, "", sent=sent)) for taker in _choices(taken, taking)
            ]
            if all(found):
                misfits += sorted(found, key=_distance)[0]
        return misfits

    def _one_fits(self, given: Json, taken: Json, where: str, *, sent: bool) -> Iterator[str]:
        """Without references and choices."""
        if not _types(given) <= _types(taken):
            yield f"{where}: another type"
            return
        takes = _values(taken)
        if takes is not None and not set(_values(given) or ["any value"]) <= set(takes):
            yield f"{where}: other values"
        for limit, sign in (*product(AT_MOST, (1,)), *product(AT_LEAST, (-1,))):
            if limit in taken and (limit not in given or sign * given[limit] > sign * taken[limit]):
                yield f"{where}: another {limit}"
        for name in SAME:
            if name in taken and given.get(name) != taken[name]:
                yield f"{where}: another {name}"
        if "items" in taken:
            yield from self._fits(given.get("items", {}), taken["items"], f"{where}[]", sent=sent)
        yield from self._fields(given, taken, where, sent=sent)

    def _fields(self, given: Json, taken: Json, where: str, *, sent: bool) -> Iterator[str]:
        for name in set(taken.get("required", ())) - set(given.get("required", ())):
            yield f"{where}.{name} is {'demanded' if sent else 'not always answered'}"
        fields, others = taken.get("properties", {}), taken.get("additionalProperties", True)
        for name, field in given.get("properties", {}).items():
            may_be_absent = name not in given.get("required", ())
            if sent and may_be_absent and name in fields and _default(field) != _default(fields[name]):
                yield f"{where}.{name}: another default"
            if name in fields or isinstance(others, dict):
                yield from self._fits(field, fields.get(name, others), f"{where}.{name}", sent=sent)
            elif others is False and sent:  # a client passes over what is new in an answer
                yield f"{where}.{name} is gone"
        if not sent and isinstance(others, dict) and given.get("additionalProperties") is not False:
            values = given.get("additionalProperties", {})
            yield from self._fits(values if isinstance(values, dict) else {}, others, f"{where}.*", sent=sent)
        if (
            sent
            and others is not True
            and given.get("additionalProperties", True) is not False
            and "object" in _types(given)
            and "type" in given
        ):
            if others is False or given.get("additionalProperties", True) is True:
                yield f"{where}: other fields"
            else:
                yield from self._fits(given["additionalProperties"], others, f"{where}.*", sent=sent)


def _servers(old: Json, new: Json, where: str) -> Iterator[str]:
    """Where the released document says that requests go."""
    before, after = ({server["url"] for server in each.get("servers", [{"url": "/"}])} for each in (old, new))
    yield from (f"{where} is no longer at {url}" for url in before - after)


def _is_enough(sent: Json, demanded: Json) -> bool:
    return all(name in sent and set(scopes) <= set(sent[name]) for name, scopes in demanded.items())


def _default(schema: Json) -> Any:
    """What stands for an absent value; of a type that has no null, null says that there is none."""
    return schema.get("default")


def _distance(problems: list[str]) -> tuple[bool, int]:
    """How far two schemas are from each other."""
    return any(each.endswith("another type") for each in problems), len(problems)


def _choices(schema: Json, document: Json) -> list[Json]:
    """The schemas of which one fits."""
    if "$ref" in schema:
        return _choices(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    choices = schema.get("anyOf") or schema.get("oneOf")
    return [one for each in choices for one in _choices(each, document)] if choices else [schema]


def _types(schema: Json) -> set[str]:
    declared = schema.get("type", ["null", "boolean", "integer", "number", "string", "array", "object"])
    types = {declared} if isinstance(declared, str) else set(declared)
    return types | {"integer"} if "number" in types else types


def _values(schema: Json) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


if __name__ == "__main__":
    from api.main import create_app
    from api.settings import Settings

    document = without_prose(create_app(Settings(_env_file=None)).openapi())
    print(json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")))
