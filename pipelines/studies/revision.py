"""Numbers that stand for the code in the digests by which results of studies are found again.

Raise one when a change of the code changes what its trainings find: those before it then count no more. Parameters,
data and features are in the digests themselves.
"""

CASES = 2
"""Variants of I-LLMRec, and the smaller catalogs they are trained on."""
RIVALS = 2
"""Trials and trainings of collaborative filtering."""
