"""The page in the visitor's language: see `catalog` for texts, `components` for what is on the page from the start."""

from demo_app.i18n.catalog import Catalog, Formatted, Translations, merged, recording, say, speaking

__all__ = ["Catalog", "Formatted", "Translations", "merged", "recording", "say", "speaking"]
