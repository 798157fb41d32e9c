"""The local world: every region's processes on one machine, under one supervisor."""
