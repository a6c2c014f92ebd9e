"""Where one thing lies in the frame of another."""
