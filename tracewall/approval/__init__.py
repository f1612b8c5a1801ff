"""Approval: requests that wait for people, their decisions, and where both are kept.

1. A request is bound to what will be done, by whom and where: the SHA-256 of a canonical
   encoding. What can't be encoded can't be asked for.
2. A decision is a signed note over that hash; whoever can write the store can't make one.
3. People are counted, not groups; nobody decides on what they, or who acts for them, ask.
4. A grant is used once, atomically, before the statement leaves; what became of it is
   recorded after. What was used and never settled has an unknown outcome, and stays used.
"""
