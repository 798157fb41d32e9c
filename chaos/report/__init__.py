"""What drills came to, as one page without anything from elsewhere, and as a part of the README."""
