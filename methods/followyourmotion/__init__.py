"""Follow-Your-Motion (arXiv:2506.05207): decoupled spatial and temporal LoRAs on classified heads."""
