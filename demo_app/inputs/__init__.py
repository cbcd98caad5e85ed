"""What visitors bring: numbers, texts, tables, pictures and archives, each read within bounds."""
