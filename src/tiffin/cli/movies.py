import typer
commands = typer.Typer()
