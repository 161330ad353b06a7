"""What people and machines read: terminal, HTML, JUnit, JSON, dotenv."""
