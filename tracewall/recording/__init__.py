"""What happened on guarded connections, to look at again: recorded after masking."""
