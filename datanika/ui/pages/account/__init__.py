"""For those who are not logged in, or in no organisation: login, mails, invitations."""
