"""Looking back: pure measures over the marts, one file a subject: columns read on top, `measure` below."""
