"""Foreign audit formats told as our events. Pure: a record in, an event out, and never a failure.

One rule holds for all of them: `event_data` is the complete original record, so that nothing is
lost and every field can be compared after an export. What an odd record does not say, or says
with the wrong type, is simply missing from the fields beside it.
"""
