"""The score: how well each instrument tells smooth, kinked and stepped functions apart."""
