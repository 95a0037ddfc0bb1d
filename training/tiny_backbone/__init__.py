"""The backbone `tiny`: its autoencoder and transformer, its exam and its model card."""
