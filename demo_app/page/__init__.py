"""The page: one tab a demo, and what tabs are made of."""
