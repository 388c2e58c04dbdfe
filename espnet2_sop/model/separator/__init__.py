"""From the frames of a mixture to one stream for each talker slot."""
