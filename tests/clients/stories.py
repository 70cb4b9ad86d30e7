"""What Muster has to show of each example's run: who contains whom, in order of time.

A line is a row: what it is, and its span's name; agents with the agent's name; the status unless ``completed``. What
contains a failed part isn't always failed: the frameworks say so themselves, and Muster tells what they say.
"""

STORIES = {
    "openai-agents": """
agent: Agent workflow (Agent workflow)
  chain: Agent workflow
    agent: support-desk (support-desk)
      chain: turn
        call: response
        tool: look_up_order
      chain: turn
        call: response
""",
    "openai-agents-failed-tool": """
agent: Agent workflow (Agent workflow)
  chain: Agent workflow
    agent: support-desk (support-desk)
      chain: turn
        call: response
        tool: look_up_order failed
      chain: turn
        call: response
""",
    "openai-agents-failed-call": """
agent: Agent workflow (Agent workflow)
  chain: Agent workflow
    agent: support-desk (support-desk) failed
      chain: turn
        call: response failed
""",
    "langchain": """
chain: support-desk
  chain: model
    call: ChatOpenAI
  chain: tools
    tool: look_up_order
  chain: model
    call: ChatOpenAI
""",
    "langchain-failed-tool": """
chain: support-desk failed
  chain: model
    call: ChatOpenAI
  chain: tools failed
    tool: look_up_order failed
""",
    "langchain-failed-call": """
chain: support-desk failed
  chain: model failed
    call: ChatOpenAI failed
""",
    "pydantic-ai": """
agent: invoke_agent support-desk (support-desk)
  call: chat gpt-5-mini
  tool: execute_tool look_up_order
  call: chat gpt-5-mini
""",
    "pydantic-ai-failed-tool": """
agent: invoke_agent support-desk (support-desk) failed
  call: chat gpt-5-mini
  tool: execute_tool look_up_order failed
""",
    "pydantic-ai-failed-call": """
agent: invoke_agent support-desk (support-desk) failed
  call: chat gpt-5-mini failed
""",
    "openai-v2": """
agent: invoke_agent support-desk (support-desk)
  call: chat gpt-5-mini
  tool: execute_tool look_up_order
  call: chat gpt-5-mini
""",
    "openai-v2-failed-tool": """
agent: invoke_agent support-desk (support-desk) failed
  call: chat gpt-5-mini
  tool: execute_tool look_up_order failed
""",
    "openai-v2-failed-call": """
agent: invoke_agent support-desk (support-desk) failed
  call: chat gpt-5-mini failed
""",
}
