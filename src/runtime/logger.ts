/**
 * Logs as JSON lines on stdout. A message is a constant; what varies stands in fields. Fields that carry secrets are
 * blotted out by name, wherever they stand in the first three levels, so that a careless call does not publish a key.
 */
import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino'

export type { Logger }

export const LOG_LEVELS = ['error', 'warn', 'info', 'debug'] as const
export type LogLevelName = (typeof LOG_LEVELS)[number]

export interface LoggerOptions {
  /** Lowest level that is written; it may be changed by setting `level` of the logger. */
  readonly level: LogLevelName
  /** Which part writes, such as `proxy` or `mixer`. */
  readonly name: string
}

const SECRET_FIELDS = [
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'apiKey',
  'cookie',
  'set-cookie',
  'token',
  'key',
  'privateKey',
  'password',
  'secret',
]

/** A logger that writes to `destination`, stdout unless a test wants to read it. Writes are synchronous: a line logged before an exit is not lost. */
export function createLogger(options: LoggerOptions, destination?: DestinationStream): Logger {
  const settings = {
    level: options.level,
    base: { name: options.name, pid: process.pid },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: SECRET_FIELDS.flatMap(secretPaths), censor: '[redacted]' },
  }
  return destination === undefined ? pino(settings) : pino(settings, destination)
}

function secretPaths(field: string): string[] {
  return [`["${field}"]`, `*["${field}"]`, `*.*["${field}"]`]
}
