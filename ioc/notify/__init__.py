"""Notifications to people, by Apprise."""
