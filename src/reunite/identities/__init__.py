"""Who is who across cameras, from one embedding per track."""
