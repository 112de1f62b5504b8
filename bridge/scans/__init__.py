"""Photos out of flatbed scans: a program of its own. OpenCV, NumPy and libvips are imported nowhere else."""
