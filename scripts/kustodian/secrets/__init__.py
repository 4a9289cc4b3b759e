"""Encrypted files: read without a key (`envelope`), shown sealed (`seal`), generated (`ksops`), changed (`sops`)."""
