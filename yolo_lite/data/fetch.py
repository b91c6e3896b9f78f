"""Downloads, only on demand: known names or any address; resume, checksum, safe unpacking.

Interface: fetch(name_or_url, folder=".", sha256=None, unpack=True, progress=True) -> Path; KNOWN: mapping name -> Resource
"""
