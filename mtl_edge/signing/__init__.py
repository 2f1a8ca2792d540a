"""Signatures of files in the format of minisign (Ed25519), which anyone can check without this package.

The format is documented at https://jedisct1.github.io/minisign/; ``minisign -V -p KEY.pub -m FILE`` accepts what is
written here, and what ``minisign`` writes is accepted here. Needs ``[sign]``.
"""
