"""The workshop: what trains, searches and describes the embedded models. Imports the rooms, is imported by none."""
