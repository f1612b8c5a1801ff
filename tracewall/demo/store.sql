-- The sample trace store: what AI agents did, after OpenTelemetry's gen_ai conventions.
-- A comment that starts with "gen_ai." names the attribute a column holds.

CREATE SCHEMA traces;
COMMENT ON SCHEMA traces IS 'tracewall: sample trace store';

CREATE TABLE traces.runs (
    run_id              uuid PRIMARY KEY,
    tenant              text NOT NULL,
    conversation_id     text NOT NULL,
    user_id             text NOT NULL,
    user_email          text NOT NULL,
    client_ip           inet,
    api_key             text,
    agent               text NOT NULL,
    provider            text NOT NULL,
    model               text NOT NULL,
    operation           text NOT NULL,
    system_instructions text,
    started_at          timestamptz NOT NULL,
    ended_at            timestamptz,
    input_tokens        integer NOT NULL DEFAULT 0 CHECK (input_tokens >= 0),
    output_tokens       integer NOT NULL DEFAULT 0 CHECK (output_tokens >= 0),
    cost                numeric(12, 6) NOT NULL DEFAULT 0,
    status              text NOT NULL CHECK (status IN ('running', 'ok', 'error')),
    attributes          jsonb NOT NULL DEFAULT '{}',
    CHECK (ended_at >= started_at)
);
CREATE INDEX runs_tenant_started_at ON traces.runs (tenant, started_at);
CREATE INDEX runs_user_id ON traces.runs (user_id);
CREATE INDEX runs_conversation_id ON traces.runs (conversation_id);
COMMENT ON TABLE traces.runs IS 'One invocation of a model or an agent, start to end';
COMMENT ON COLUMN traces.runs.tenant IS 'The customer whose data this is';
COMMENT ON COLUMN traces.runs.conversation_id IS 'gen_ai.conversation.id';
COMMENT ON COLUMN traces.runs.user_id IS 'The person who asked, within the tenant';
COMMENT ON COLUMN traces.runs.user_email IS 'The address of that person';
COMMENT ON COLUMN traces.runs.client_ip IS 'Where the request came from';
COMMENT ON COLUMN traces.runs.api_key IS 'The caller''s key that the service used at the provider';
COMMENT ON COLUMN traces.runs.agent IS 'gen_ai.agent.name';
COMMENT ON COLUMN traces.runs.provider IS 'gen_ai.provider.name';
COMMENT ON COLUMN traces.runs.model IS 'gen_ai.request.model';
COMMENT ON COLUMN traces.runs.operation IS 'gen_ai.operation.name';
COMMENT ON COLUMN traces.runs.system_instructions IS 'gen_ai.system_instructions, as text';
COMMENT ON COLUMN traces.runs.input_tokens IS 'gen_ai.usage.input_tokens';
COMMENT ON COLUMN traces.runs.output_tokens IS 'gen_ai.usage.output_tokens';
COMMENT ON COLUMN traces.runs.cost IS 'In US dollars';
COMMENT ON COLUMN traces.runs.attributes IS 'Whatever else is known of the run';

CREATE TABLE traces.steps (
    step_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id      uuid NOT NULL REFERENCES traces.runs,
    seq         integer NOT NULL CHECK (seq >= 0),
    kind        text NOT NULL CHECK (kind IN ('reasoning', 'tool_call', 'tool_call_response')),
    content     text NOT NULL,
    started_at  timestamptz NOT NULL,
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    tokens      integer NOT NULL CHECK (tokens >= 0),
    UNIQUE (run_id, seq)
);
COMMENT ON TABLE traces.steps IS 'What the agent did within a run, in order';
COMMENT ON COLUMN traces.steps.seq IS 'Place within the run, from 0';
COMMENT ON COLUMN traces.steps.content IS 'Free text: a thought, a command, or what it printed';

CREATE TABLE traces.messages (
    message_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id        uuid NOT NULL REFERENCES traces.runs,
    seq           integer NOT NULL CHECK (seq >= 0),
    role          text NOT NULL CHECK (role IN ('system', 'user', 'assistant', 'tool')),
    parts         jsonb NOT NULL CHECK (jsonb_typeof(parts) = 'array'),
    finish_reason text CHECK (
        finish_reason IN ('stop', 'length', 'content_filter', 'tool_call', 'error')
    ),
    UNIQUE (run_id, seq)
);
COMMENT ON TABLE traces.messages IS 'gen_ai.input.messages and gen_ai.output.messages, one a row';
COMMENT ON COLUMN traces.messages.seq IS 'Place within the run, from 0';
COMMENT ON COLUMN traces.messages.parts IS
    'Array of parts of type text, reasoning, tool_call or tool_call_response';
COMMENT ON COLUMN traces.messages.finish_reason IS
    'gen_ai.response.finish_reasons; only where the assistant speaks';

CREATE TABLE traces.tool_calls (
    call_id     text PRIMARY KEY,
    run_id      uuid NOT NULL REFERENCES traces.runs,
    step_seq    integer NOT NULL,
    tool_name   text NOT NULL,
    arguments   jsonb NOT NULL,
    result      jsonb,
    error       text,
    duration_ms integer NOT NULL CHECK (duration_ms >= 0),
    FOREIGN KEY (run_id, step_seq) REFERENCES traces.steps (run_id, seq)
);
CREATE INDEX tool_calls_run_id ON traces.tool_calls (run_id, step_seq);
CREATE INDEX tool_calls_tool_name ON traces.tool_calls (tool_name);
COMMENT ON TABLE traces.tool_calls IS 'Each tool that a step called, with what came back';
COMMENT ON COLUMN traces.tool_calls.call_id IS 'gen_ai.tool.call.id';
COMMENT ON COLUMN traces.tool_calls.step_seq IS 'The step of kind tool_call that made the call';
COMMENT ON COLUMN traces.tool_calls.tool_name IS 'gen_ai.tool.name';
COMMENT ON COLUMN traces.tool_calls.arguments IS 'gen_ai.tool.call.arguments';
COMMENT ON COLUMN traces.tool_calls.result IS 'gen_ai.tool.call.result; NULL when none came back';
COMMENT ON COLUMN traces.tool_calls.error IS 'Why the tool failed; NULL when it did not';
