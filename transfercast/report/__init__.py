"""Pages for users, made from plain rows and tables; no models are loaded here."""
