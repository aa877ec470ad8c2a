/** `amt schema` */
import { Command } from 'commander'
import { configJsonSchema } from '../../config/json-schema.ts'

/** Prints the JSON Schema of the configuration, for editors. */
export function schemaCommand(): Command {
  return new Command('schema')
    .description('print the JSON Schema of the configuration, for editors')
    .addHelpText(
      'after',
      '\nExample:\n  $ amt schema > amt.schema.json\n\nThen begin the configuration with:\n  # yaml-language-server: $schema=amt.schema.json',
    )
    .action(() => {
      process.stdout.write(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`)
    })
}
