// Starts Swagger UI. A file of its own, so that the page's Content-Security-Policy needs no exception.
const root = document.getElementById("docs");

// Relative addresses in the document, such as the one to sign in at, are resolved against the page's own.
history.replaceState(null, "", location.pathname.replace(/\/+$/, "") + location.search + location.hash);

window.ui = SwaggerUIBundle({
  url: root.dataset.openapiUrl,
  domNode: root,
  layout: "BaseLayout",
  validatorUrl: null, // by default, Swagger UI sends the document to a server of its makers
  deepLinking: true,
  docExpansion: "none",
  filter: true,
  tryItOutEnabled: true,
  persistAuthorization: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  defaultModelExpandDepth: 3,
  showExtensions: false,
});
