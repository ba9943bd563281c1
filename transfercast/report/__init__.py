"""Pages for people, out of plain rows and tables; no models are loaded here."""
