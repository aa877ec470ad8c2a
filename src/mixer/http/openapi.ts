/** The OpenAPI 3.1 document, made from the routes that are served and from the schemas that they check with. */
import { z } from 'zod'
import { PROBLEM_MEDIA_TYPE, problemSchema } from '../../contracts/problem.ts'
import { ERRORS, type ErrorCode } from '../../core/errors.ts'
import { json } from './answer.ts'
import type { Route } from './route.ts'

/** Version of the interface: the first number changes when something that was there is no longer, or means something else. */
const API_VERSION = '1.0.0'
const PATH = '/openapi.json'

type Json = Readonly<Record<string, unknown>>

const ACCESS_REFUSALS: Readonly<Record<Route['access'], readonly ErrorCode[]>> = {
  open: [],
  token: ['unauthorized'],
  source: ['unidentified_source', 'tenant_disabled'],
  'token-or-source': ['unauthorized', 'unidentified_source', 'tenant_disabled'],
}

/** No scheme of OpenAPI stands for "by the source of the connection"; an empty requirement says that nothing is sent. */
const SECURITY: Readonly<Record<Route['access'], readonly Json[]>> = {
  open: [],
  token: [{ token: [] }],
  source: [{}],
  'token-or-source': [{ token: [] }, {}],
}

/** The route of the document itself, which lists `routes` and itself. */
export function openApiRoute(routes: readonly Route[]): Route {
  const route: Route = {
    method: 'GET',
    path: PATH,
    access: 'open',
    documentation: {
      summary: 'This document.',
      answer: z.looseObject({ openapi: z.string() }),
      refusals: [],
    },
    handle: async () => answer,
  }
  const answer = json(documentOf([...routes, route]))
  return route
}

function documentOf(routes: readonly Route[]): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'AMT mixer',
      version: API_VERSION,
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: Object.fromEntries(
      [...Map.groupBy(routes, ({ path }) => path)].map(([path, ofPath]) => [
        path,
        Object.fromEntries(ofPath.map(route => [route.method.toLowerCase(), operationOf(route)])),
      ]),
    ),
    components: {
      schemas: { Problem: schemaOf(problemSchema) },
      securitySchemes: {
        token: {
          type: 'http',
          scheme: 'bearer',
          description: '`mixer.token` of the configuration.',
        },
      },
    },
  }
}

function operationOf({ access, documentation, method, path }: Route): Json {
  const { summary, parameters = [], requestBody, answer, refusals } = documentation
  const codes: readonly ErrorCode[] = [...ACCESS_REFUSALS[access], ...refusals]
  return {
    operationId: `${method.toLowerCase()}${path.replace(/[^a-z0-9]+([a-z0-9])/g, (_, first: string) => first.toUpperCase())}`,
    summary,
    security: SECURITY[access],
    ...(parameters.length === 0 ? {} : { parameters: parameters.map(parameterOf) }),
    ...(requestBody === undefined
      ? {}
      : { requestBody: { required: true, content: jsonContent(requestBody) } }),
    responses: {
      200: {
        description: 'Done.',
        content:
          typeof answer === 'string'
            ? { [answer]: { schema: { type: 'string' } } }
            : jsonContent(answer),
      },
      ...refusalsOf(codes),
      default: problemResponse('Any other refusal.'),
    },
  }
}

function parameterOf({
  name,
  description,
}: {
  readonly name: string
  readonly description: string
}): Json {
  return { name, in: 'query', required: false, description, schema: { type: 'string' } }
}

function refusalsOf(codes: readonly ErrorCode[]): Json {
  const byStatus = Object.groupBy(codes, code => String(ERRORS[code].http))
  const responses = Object.entries(byStatus).map(([status, same = []]) => {
    const sentences = same.map(code => `\`${code}\`: ${ERRORS[code].title}.`)
    return [status, problemResponse(sentences.join(' '))]
  })
  return Object.fromEntries(responses) as Json
}

function problemResponse(description: string): Json {
  return {
    description,
    content: { [PROBLEM_MEDIA_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } },
  }
}

function jsonContent(schema: z.ZodType): Json {
  return { 'application/json': { schema: schemaOf(schema) } }
}

/** OpenAPI 3.1 takes JSON Schema 2020-12 as it is; which dialect it is need not be said in every schema. */
function schemaOf(schema: z.ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-2020-12', io: 'input' })
  return rest
}
