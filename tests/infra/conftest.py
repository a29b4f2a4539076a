"""The infra tier reads templates, policies and state machines; nothing is deployed."""
