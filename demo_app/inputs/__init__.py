"""What visitors give: numbers, texts, tables, pictures and archives, each read within bounds."""
