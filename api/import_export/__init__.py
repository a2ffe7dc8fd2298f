"""Import and export: files of the rows of an entity, whose columns follow from its class family."""
