"""The composition root: puts configuration and every floor together; it alone knows them all."""
