"""The record of every decision."""
