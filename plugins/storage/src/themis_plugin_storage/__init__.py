"""Commands that keep stores in order, bring them together and take out what they hold."""
