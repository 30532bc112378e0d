"""The mark, and the picture beside the login form. Drawn here: nothing is downloaded."""

from __future__ import annotations

import reflex as rx


def mark() -> rx.Component:
    """Three tables that become one: decorative, so hidden from readers."""
    return rx.el.svg(
        rx.el.svg.rect(width="32", height="32", rx="8", fill="#0d6e6e"),
        rx.el.svg.path(
            d="M9 9.5h3.5c4 0 4.5 6.5 7.5 6.5M9 16h11M9 22.5h3.5c4 0 4.5-6.5 7.5-6.5",
            stroke="#ffffff",
            stroke_width="2.2",
            stroke_linecap="round",
            fill="none",
        ),
        rx.el.svg.circle(cx="22", cy="16", r="3", fill="#ffd166"),
        view_box="0 0 32 32",
        aria_hidden="true",
    )


def login_picture() -> rx.Component:
    """Sources flow into staging, staging into marts."""
    columns = ((20, (30, 102, 174, 246)), (200, (66, 138, 210)), (380, (102, 174)))
    links = (
        (0, 0, 0), (0, 1, 0), (0, 1, 1), (0, 2, 1), (0, 2, 2), (0, 3, 2),
        (1, 0, 0), (1, 1, 0), (1, 1, 1), (1, 2, 1),
    )  # fmt: skip
    curves = []
    for column, start, end in links:
        x1, y1 = columns[column][0] + 120, columns[column][1][start] + 22
        x2, y2 = columns[column + 1][0], columns[column + 1][1][end] + 22
        middle = (x1 + x2) // 2
        curves.append(
            rx.el.svg.path(
                d=f"M{x1} {y1}C{middle} {y1} {middle} {y2} {x2} {y2}",
                stroke="#5fb8b0",
                stroke_width="2",
                fill="none",
                opacity="0.75",
            )
        )
    cards = []
    for column, (x, rows) in enumerate(columns):
        for y in rows:
            accent = ("#ffd166", "#5fd3c8", "#8fe3a8")[column]
            cards += [
                rx.el.svg.rect(
                    x=str(x), y=str(y), width="120", height="44", rx="9", fill="#114e52"
                ),
                rx.el.svg.rect(x=str(x), y=str(y), width="4", height="44", rx="2", fill=accent),
                rx.el.svg.rect(
                    x=str(x + 18), y=str(y + 12), width="64", height="7", rx="3.5", fill="#d5efec"
                ),
                rx.el.svg.rect(
                    x=str(x + 18), y=str(y + 26), width="40", height="6", rx="3", fill="#6fb2ad"
                ),
            ]
    return rx.el.svg(*curves, *cards, view_box="0 0 520 320", aria_hidden="true")
