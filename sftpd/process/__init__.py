"""How every child process is started, sandboxed, spoken with, watched and ended."""
