"""The SFTP protocol, version 3, without I/O: bytes in, requests out; replies in, bytes out."""
