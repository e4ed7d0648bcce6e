"""Other machines' slots: the relay that speaks to them, what they are told and what they may answer."""
