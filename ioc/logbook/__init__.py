"""Entries in electronic logbooks: Phoebus Olog, the Elog of PSI, a Markdown file."""
