"""The tab "Fine-tune" of a demo: `tab` wires what `panels` lays out to what `examples`, `training` and `results` do."""
