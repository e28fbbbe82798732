"""Verdicts on roles, policies and user pools."""

from headwater.template.tables.type_table import TypeTable, required, table

IDENTITY: dict[str, TypeTable] = {
    "AWS::IAM::Role": table(
        live="RoleName AssumeRolePolicyDocument Policies ManagedPolicyArns Path",
        deploy_only="Tags Description MaxSessionDuration",
        refused={"PermissionsBoundary": "boundaries are not evaluated here; put the limits in the policies"},
        checks=(required("AssumeRolePolicyDocument"),),
    ),
    "AWS::IAM::Policy": table(
        live="PolicyName PolicyDocument Roles",
        refused={"Groups": "IAM groups do not exist here", "Users": "IAM users do not exist here"},
        checks=(required("PolicyDocument"),),
    ),
    "AWS::IAM::ManagedPolicy": table(
        live="ManagedPolicyName PolicyDocument Roles Path",
        deploy_only="Description Tags",
        refused={"Groups": "IAM groups do not exist here", "Users": "IAM users do not exist here"},
        checks=(required("PolicyDocument"),),
    ),
    "AWS::Cognito::UserPool": table(
        live="""UserPoolName UsernameAttributes AliasAttributes Schema.Name Schema.AttributeDataType Schema.Mutable
            Schema.Required Schema.DeveloperOnlyAttribute Schema.StringAttributeConstraints
            Schema.NumberAttributeConstraints""",
        deploy_only="""UserPoolTags Policies AutoVerifiedAttributes AdminCreateUserConfig AccountRecoverySetting
            MfaConfiguration EnabledMfas DeletionProtection UserPoolAddOns UserPoolTier UsernameConfiguration
            EmailConfiguration EmailVerificationMessage EmailVerificationSubject VerificationMessageTemplate
            DeviceConfiguration SmsConfiguration UserAttributeUpdateSettings""",
        refused={"LambdaConfig": "sign-in flows do not run here; sign tokens with `headwater token`"},
    ),
    "AWS::Cognito::UserPoolClient": table(
        live="""UserPoolId ClientName""",
        deploy_only="""ReadAttributes WriteAttributes ExplicitAuthFlows GenerateSecret PreventUserExistenceErrors
            AccessTokenValidity IdTokenValidity RefreshTokenValidity TokenValidityUnits EnableTokenRevocation
            AllowedOAuthFlows AllowedOAuthFlowsUserPoolClient AllowedOAuthScopes CallbackURLs LogoutURLs
            SupportedIdentityProviders AuthSessionValidity DefaultRedirectURI RefreshTokenRotation""",
        checks=(required("UserPoolId"),),
    ),
    "AWS::Cognito::UserPoolGroup": table(
        live="GroupName UserPoolId", deploy_only="Description Precedence RoleArn", checks=(required("UserPoolId"),)
    ),
    "AWS::Cognito::UserPoolDomain": TypeTable(verdict="deploy-only"),
}
