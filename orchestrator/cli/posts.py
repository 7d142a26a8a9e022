"""`orchestrator ctl posts`, `post`, `replies`, `reply`: look at texts that go out, and decide of them."""

from typing import Annotated, Literal

import typer

from orchestrator.cli.parts import Json, examples, message, needs_command, show

commands = typer.Typer()
post = typer.Typer(help="Look at one post, or decide of it.", invoke_without_command=True)
post.callback()(needs_command)
reply = typer.Typer(help="Write a reply, or decide of one.", invoke_without_command=True)
reply.callback()(needs_command)

PostId = Annotated[int, typer.Argument(metavar="ID", help="A post's number; `ctl posts` lists them.")]


@commands.command(
    epilog=examples(
        "orchestrator ctl posts --state queued --account ada",
        "orchestrator ctl posts 4711   # all of one post",
    )
)
def posts(
    context: typer.Context,
    post: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="All of one post.", show_default=False)
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only those in this state, such as queued, published, ambiguous.")
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this account.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=500, help="So many; 20 without it.")] = None,
    is_json: Json = False,
) -> None:
    """The posts that changed last, or one of them with all that is known of it and what becomes of it."""
    if post is not None:
        show_post(context, post, is_json)
        return
    from orchestrator.terminal.posts import render_posts

    show(context.obj, "posts", render_posts, is_json, state=state, account=account, limit=limit)


@commands.command(
    epilog=examples(
        "orchestrator ctl replies --state draft   # those that wait for you",
        "orchestrator ctl replies 4711",
    )
)
def replies(
    context: typer.Context,
    reply: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="All of one reply.", show_default=False)
    ] = None,
    state: Annotated[
        str | None, typer.Option(help="Only those in this state, such as draft, queued, published.")
    ] = None,
    account: Annotated[str | None, typer.Option(metavar="NAME", help="Only those of this account.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, max=500, help="So many; 20 without it.")] = None,
    is_json: Json = False,
) -> None:
    """The replies that changed last, or one of them; `--state draft` are those that wait for you."""
    if reply is not None:
        show_post(context, reply, is_json)
        return
    from orchestrator.terminal.posts import render_posts

    show(context.obj, "replies", render_posts, is_json, state=state, account=account, limit=limit)


@reply.command(epilog=examples("orchestrator ctl reply draft --account ada --to p17 'Thank you!'"))
def draft(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What it says.")],
    account: Annotated[str, typer.Option(metavar="NAME", help="Who replies.")],
    to: Annotated[str, typer.Option(metavar="REFERENCE", help="The site's own name of the post to answer.")],
    is_json: Json = False,
) -> None:
    """Write a reply. It goes out when somebody has approved it."""
    show(context.obj, "draft", message, is_json, account=account, to=to, text=text)


@reply.command(
    epilog=examples(
        "orchestrator ctl reply edit 4711 --text 'Thank you, Grace!'",
        "orchestrator ctl reply edit 4711 --at 2026-06-01T18:30:00+00:00",
    )
)
def edit(
    context: typer.Context,
    reply: PostId,
    text: Annotated[str | None, typer.Option(metavar="TEXT", help="What it is to say.")] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="MOMENT", help="When it goes out: 2026-06-01T18:30:00+00:00."),
    ] = None,
    is_json: Json = False,
) -> None:
    """Give a draft another text, or another moment to go out."""
    show(context.obj, "edit", message, is_json, post=reply, text=text, due_at=at)


@reply.command(epilog=examples("orchestrator ctl reply approve 4711"))
def approve(context: typer.Context, reply: PostId, is_json: Json = False) -> None:
    """Let a draft go out."""
    show(context.obj, "approve", message, is_json, post=reply)


@reply.command(epilog=examples("orchestrator ctl reply reject 4711"))
def reject(context: typer.Context, reply: PostId, is_json: Json = False) -> None:
    """Drop a draft; the post can be answered otherwise."""
    show(context.obj, "reject", message, is_json, post=reply)


@post.command("show", epilog=examples("orchestrator ctl post show 4711"))
def show_post(context: typer.Context, post: PostId, is_json: Json = False) -> None:
    """All that is known of a post, and what becomes of it."""
    from orchestrator.terminal.posts import render_post

    show(context.obj, "post", render_post, is_json, post=post)


@post.command(
    epilog=examples(
        "orchestrator ctl post resolve 4711 published --reference p42   # the site has it",
        "orchestrator ctl post resolve 4711 requeue                     # it has not: try again",
        "orchestrator ctl post resolve 4711 drop                        # nor is it to",
    )
)
def resolve(
    context: typer.Context,
    post: PostId,
    decision: Annotated[
        Literal["published", "requeue", "drop"], typer.Argument(metavar="published|requeue|drop")
    ],
    reference: Annotated[
        str | None, typer.Option(metavar="REFERENCE", help="The site's own name of a published post.")
    ] = None,
    is_json: Json = False,
) -> None:
    """Decide of an ambiguous post: the site has it; or it has not: try it again, or drop it."""
    show(context.obj, "resolve", message, is_json, post=post, decision=decision, reference=reference)
