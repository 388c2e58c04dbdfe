"""From one stream of frames to one for each talker slot."""
