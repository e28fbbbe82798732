// Every rule AWS has for APPSYNC_JS, those that need types included.
import appsync from '@aws-appsync/eslint-plugin';

const { recommended } = appsync.configs;
const projectService = {
  allowDefaultProject: ['resolvers/*.js'],
  maximumDefaultProjectFileMatchCount_THIS_WILL_SLOW_DOWN_LINTING: 500,
};

export default [
  {
    ...recommended,
    files: ['resolvers/*.js'],
    languageOptions: {
      ...recommended.languageOptions,
      parserOptions: { projectService, tsconfigRootDir: import.meta.dirname },
    },
  },
];
