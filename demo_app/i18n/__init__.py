"""The page in the visitor's language: `catalog` translates texts, `components` those of the components on a page."""

from demo_app.i18n.catalog import Catalog, Formatted, Translations, merged, recording, say, speaking

__all__ = ["Catalog", "Formatted", "Translations", "merged", "recording", "say", "speaking"]
