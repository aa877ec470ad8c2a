/** The configuration as JSON Schema: for editors (`amt schema`), and to say in messages what is allowed where. */
import { z } from 'zod'
import { configSchema } from './schema.ts'
import { tenantSchema } from './tenant-schema.ts'

/** The part of JSON Schema that zod writes. */
export interface JsonSchema {
  $schema?: string
  title?: string
  description?: string
  default?: unknown
  type?: string
  const?: unknown
  enum?: unknown[]
  pattern?: string
  format?: string
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
  properties?: Record<string, JsonSchema>
  additionalProperties?: boolean | JsonSchema
  required?: string[]
  items?: JsonSchema
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
}

/** A value that holds `${…}` is checked after its replacement, which an editor cannot do. */
const INTERPOLATED: JsonSchema = { type: 'string', pattern: '\\$\\{' }

/** JSON Schema (draft 2020-12) of a configuration file, with title, descriptions and defaults. */
export function configJsonSchema(): object {
  const schema = generate(configSchema)
  allowInterpolation(schema)
  const { $schema, ...rest } = schema
  return {
    $schema,
    title: 'AMT configuration',
    description: 'Configuration of the AMT proxy and its mixer.',
    ...rest,
  }
}

/** The same without the allowance for `${…}`: of a whole file or of one tenant. */
export function plainSchema(kind: 'config' | 'tenant'): JsonSchema {
  return generate(kind === 'config' ? configSchema : tenantSchema)
}

function generate(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, { io: 'input' }) as JsonSchema
}

function allowInterpolation(schema: JsonSchema): void {
  const parts = [...Object.values(schema.properties ?? {}), ...(schema.oneOf ?? [])]
  for (const part of parts) allowInterpolation(part)
  if (schema.items) allowInterpolation(schema.items)
  if (typeof schema.additionalProperties === 'object') {
    allowInterpolation(schema.additionalProperties)
  }
  if (schema.anyOf?.some(option => option.type === 'object'))
    schema.anyOf.forEach(allowInterpolation)
  else if (isChecked(schema)) wrap(schema)
}

/** Whether a text with `${…}` in it could fail against this schema of a single value. */
function isChecked(schema: JsonSchema): boolean {
  if (schema.anyOf || schema.enum || schema.pattern || schema.format) return true
  return ['boolean', 'integer', 'number'].includes(schema.type ?? '')
}

/** `schema` itself stays, as its parent refers to it; what it demands moves into an alternative. */
function wrap(schema: JsonSchema): void {
  const demands: JsonSchema = {}
  for (const key of Object.keys(schema) as (keyof JsonSchema)[]) {
    if (key === 'description' || key === 'default' || key === 'anyOf') continue
    Object.assign(demands, { [key]: schema[key] })
    Reflect.deleteProperty(schema, key)
  }
  schema.anyOf = [...(schema.anyOf ?? [demands]), INTERPOLATED]
}
